"""`make lambda-check`: everything about the functions on AWS that can be known without AWS."""
