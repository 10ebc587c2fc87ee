"""Examples to copy: a curriculum in other libraries' training, a file each."""
