"""The data layer of Fast R-CNN and Faster R-CNN, by the name that py-faster-rcnn gives it."""
