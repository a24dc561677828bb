"""Recall signals: what suggests that an event is the evidence a question asks for."""
