"""What watches Tonearm."""
