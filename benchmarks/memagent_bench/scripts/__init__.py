"""Stand-alone experiments, and the script that fills the tables of the documentation."""
