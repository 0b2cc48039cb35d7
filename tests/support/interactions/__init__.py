"""What tests of the HTTP side need: signed interactions, and somebody who does the jobs."""
