"""A folder of pictures made searchable."""
