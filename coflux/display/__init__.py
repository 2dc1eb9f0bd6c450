"""What the command line and the dashboard show alike: words, marks, and what happened. No terminal in here."""
