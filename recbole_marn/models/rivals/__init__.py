"""Published models on the same modalities and rows, one file each."""
