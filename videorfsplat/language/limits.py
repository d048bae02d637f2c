"""How much text a prompt may have."""

# The text encoders read at most 256 tokens, which some 1,500 characters of English fill.
MAX_PROMPT_CHARACTERS = 2000
