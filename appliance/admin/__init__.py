"""The console and its REST API: what call-center admins and operators work with every day.

``console`` what pages and API share
"""
