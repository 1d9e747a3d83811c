"""The forms of the database, oldest first. A migration that was released is never changed; a new one is added."""
