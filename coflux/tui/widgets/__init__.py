"""What is on the screen. Widgets draw rows of the view model; they know nothing of the engine."""
