"""From folder to items: one file a data set."""
