"""`memagent bench segments`: compare events with topics and human event boundaries."""
