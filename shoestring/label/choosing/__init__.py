"""Which labels to buy: how an example is seen, ranked and paid for."""
