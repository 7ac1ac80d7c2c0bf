"""The model, and what it reads: rows → ids → logits → losses."""
