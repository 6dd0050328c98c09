"""The wire contract, sentence by sentence, against real servers: nothing in here imports the service."""
