"""The command line. `main` puts the commands together; every other module or folder holds one command or its parts."""
