"""What the dashboard reads from the store, a subject each; all of it in the thread of `coflux.tui.link`."""
