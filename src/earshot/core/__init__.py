"""What every part of the project stands on: errors, atomic files and locks, parameters, progress, worker processes."""
