"""The queue: what waits, what runs, and what became of it. No torch; engines are processes of their own."""
