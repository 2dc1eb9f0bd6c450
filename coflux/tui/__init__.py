"""The dashboard: a client of the engine. Everything but `app`, `screens` and `widgets` is free of Textual."""
