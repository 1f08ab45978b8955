"""Your own assets, checks, jobs, schedules and sensors: see README.md beside this file."""
