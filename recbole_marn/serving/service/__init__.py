"""An export as a service: scores, rankings and new items over HTTP, and a page to look at them."""
