"""Caffe's file formats: the schema, prototxt with positions, upgrades, reading and writing."""
