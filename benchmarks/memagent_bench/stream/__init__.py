"""What `memagent bench stream` measures, one question a file."""
