"""Curricula of others, as their papers and repositories have them: what ours is compared with."""
