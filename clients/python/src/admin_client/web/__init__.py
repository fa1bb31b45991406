"""The rooms of the Admin web app."""
