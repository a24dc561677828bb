"""English rules for dates, speakers, entities and validity."""
