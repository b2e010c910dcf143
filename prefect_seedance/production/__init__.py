"""What a run leaves for people: shots in order, film, timeline, review page and manifest. It pays nothing."""
