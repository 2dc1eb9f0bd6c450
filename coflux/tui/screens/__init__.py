"""The screens: home, a run, and what opens above them."""
