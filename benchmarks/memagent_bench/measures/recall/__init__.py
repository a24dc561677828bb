"""`memagent bench recall`: how much of the evidence is found, by the tokens that it may cost."""
