"""The command line: `main` puts the commands together, each of the other modules and folders holds one of them."""
