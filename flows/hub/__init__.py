"""What a hub of models wants: folders with a card, made from a run's store."""
