"""What the tests share: the server as a process, clients, and ways to order events."""
