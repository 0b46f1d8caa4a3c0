"""Sources, tokenizing, packing and stateless sampling."""
