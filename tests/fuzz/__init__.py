"""What strangers can send: thousands of inputs to one service, which must come to no harm."""
