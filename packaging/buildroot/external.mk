include $(sort $(wildcard $(BR2_EXTERNAL_SPILLWAY_PATH)/package/*/*.mk))
