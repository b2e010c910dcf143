"""The story of one clip: submit, wait, persist, collect, settle. No Prefect; boards are the affair of rendering/."""
