"""Score label maps against references and compare trained configurations."""
