"""The Python layers of a region proposal network (Ren et al. 2015, arXiv:1506.01497).

The modules and classes have the names by which the nets of py-faster-rcnn call theirs.
"""
