"""Pictures by matplotlib, in one style: readable in print, in grey, and by the colour-blind."""
