"""``python -m tonearm.premium`` prints the diagram of a subscription's states."""

from tonearm.premium.states import diagram

print(diagram(), end="")
