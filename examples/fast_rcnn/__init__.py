"""What the layers of Faster R-CNN share, and what is done with a net that was trained."""
