package app

// Version is the release that this code is. Commits and checkpoints name it.
const Version = "0.1.0"
