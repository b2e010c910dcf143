"""Storyboards become Seedance clips on Runpod, and no failure pays twice."""
