"""One module per screen, its style in a .tcss beside it."""
