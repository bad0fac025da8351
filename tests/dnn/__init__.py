"""caffe_lite.dnn against OpenCV 4, one file for each of its modules."""
