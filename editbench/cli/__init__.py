"""The command line: options parsed into the Config, and processes launched."""
